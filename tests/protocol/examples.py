"""One example of every message, with every field set to something that is not its default where that is possible."""

from __future__ import annotations

from ex4d_ground.costs import Cost
from ex4d_ground.descriptions import EngineInfo, EstimatorInfo, PackageInfo, PresetInfo, Setting
from ex4d_ground.options import MeshOptions, RasterOptions
from ex4d_protocol import messages as m
from ex4d_protocol import requests as r

SHA = "ab" * 32
JOB = "0123456789abcdef"
BLOB = r.BlobRef(sha256=SHA, size=5, name="shot.mp4")
CLIP = r.ClipSpec(
    video=r.Media(kind="video", blobs=(BLOB,)),
    depth=r.Media(kind="npz", blobs=(BLOB,)),
    depth_scale=0.5,
    num_frames=49,
    intrinsics=(500.0, 501.0, 256.0, 255.0),
    fill_invalid=True,
    fps=24.0,
    name="shot",
)
MESH = r.MeshSpec(
    options=MeshOptions(border_depth=50.0, pixel_anchor="corner"),
    edits=(r.MeshEdit(frame=3, positions=BLOB, face_flags=BLOB),),
)
SIZE = {"num_frames": 1, "width": 64, "height": 48}
ARRAYS = {"world_from_camera": b"\0" * 128, "intrinsics": b"\1" * 32, "source_time": b"\2" * 8}
TRAJECTORY = r.TrajectorySpec(**SIZE, **ARRAYS, name="orbit")
RASTER = RasterOptions(
    rasterizer="cpu2", near=0.01, far=500.0, mask_threshold=100, round_colors_down=True, source_first_frame=True
)
GENERATE = r.Generate(
    clip=CLIP,
    trajectory=TRAJECTORY,
    engine="preview",
    mesh=MESH,
    raster=RASTER,
    settings={"a": 1, "b": 0.5, "c": True, "d": "x", "e": None},
    seed=7,
    fps=12.0,
    note="hello",
)
DEVICE = m.DeviceSpec(name="GPU", kind="cuda", memory_bytes=8 << 30, worker="busy")
CAPABILITIES = m.Capabilities(
    engines=(
        EngineInfo(
            name="wan",
            title="Wan",
            settings=(
                Setting(
                    name="steps", kind="int", default=25, help="Steps.", minimum=1, maximum=100, choices=("a", "b")
                ),
            ),
            licence="Apache-2.0",
            is_preview=True,
            available=False,
            missing="Run this.",
        ),
    ),
    presets=(
        PresetInfo(
            name="30",
            title="30",
            help="Help.",
            unit="degrees",
            amount=1.0,
            minimum=0.5,
            maximum=2.0,
            easing="linear",
            published=True,
        ),
    ),
    devices=(DEVICE,),
    limits=m.Limits(chunk_bytes=1, upload_window=2, blob_bytes=3, queued_jobs=4, storage_bytes=5),
    licences={"engine wan": "Apache-2.0"},
)
STATE = m.JobState(
    job_id=JOB,
    phase="running",
    stage="guides",
    done=3,
    total=49,
    message="note",
    items=6,
    attempt=2,
    queue_position=1,
    kind="Generate",
    title="take 1",
)

CLIENT_MESSAGES = [
    m.Hello(client_id=JOB, client_name="add-on", major=2, minor=1, versions={"zmq": "27"}),
    m.Attach(session="secret"),
    m.Ping(),
    m.HaveBlobs(blobs=(BLOB,)),
    m.PutChunk(sha256=SHA, size=5, offset=2),
    m.SubmitJob(job_id=JOB, request=GENERATE, priority=3, title="take 1"),
    m.CancelJob(job_id=JOB),
    m.GetJob(job_id=JOB),
    m.ListJobs(unacknowledged_only=True),
    m.GetJobLog(job_id=JOB),
    m.GetResults(job_id=JOB, from_item=4, attempt=2, credit=16),
    m.Credit(job_id=JOB, more=2),
    m.AckResults(job_id=JOB),
    m.PresetQuery(
        preset="30",
        num_frames=49,
        width=64,
        height=48,
        intrinsics=(1.0, 2.0, 3.0, 4.0),
        near_depth=1.5,
        amount=0.5,
        easing="linear",
        overshoot=True,
    ),
    m.GetHealth(),
]
SERVER_MESSAGES = [
    m.Welcome(
        session="secret",
        data_port=5000,
        server_id="s1",
        capabilities=CAPABILITIES,
        ping_interval_s=1.0,
        major=2,
        minor=1,
        versions={"ex4d": "0.1.0"},
    ),
    m.Attached(),
    m.Pong(),
    m.ErrorReply(code="bad_request", message="No.", detail="why", job_id=JOB),
    CAPABILITIES,
    m.BlobsMissing(missing=(m.BlobProgress(sha256=SHA, received=2),)),
    m.ChunkAck(sha256=SHA, received=5, complete=True),
    m.JobAccepted(state=STATE, resumed=True),
    STATE,
    m.CancelAccepted(job_id=JOB, already_final=True),
    m.JobList(jobs=(STATE,)),
    m.JobLog(job_id=JOB, text="lines"),
    m.Item(
        job_id=JOB,
        index=3,
        attempt=2,
        name="vertices",
        frame=1,
        encoding="png",
        dtype="<f4",
        shape=(2, 3),
        order="F",
        size=24,
        sha256=SHA,
        offset=12,
    ),
    m.ResultsEnd(job_id=JOB, items=9, phase="done"),
    m.ResultsAcknowledged(job_id=JOB),
    m.PresetReply(preset="30", **SIZE, **ARRAYS),
    m.Health(
        uptime_s=1.0,
        queued=1,
        running=2,
        clients=3,
        blob_bytes=4,
        result_bytes=5,
        disk_free_bytes=6,
        memory_bytes=7,
        draining=True,
        devices=(DEVICE,),
    ),
]
MESSAGES = CLIENT_MESSAGES + SERVER_MESSAGES

# What 1.1 added, set; the messages above leave it at its default and so have the bytes of 1.0.
MESH_1_1 = r.MeshSpec(options=MeshOptions(hidden_by="face", thickness=0.5, thickness_unit="depth"))
PAINTED = r.MeshSpec(thickness=BLOB, edits=(r.MeshEdit(frame=3, thickness=BLOB),))
ESTIMATE = r.EstimateDepth(
    video=CLIP.video,
    estimator="depth-anything-v2",
    settings={"model": "small"},
    num_frames=49,
    intrinsics=(500.0, 501.0, 256.0, 255.0),
    align=True,
    steady=False,
    seed=7,
    name="shot",
)
ESTIMATOR = EstimatorInfo(
    name="depth-anything-v2",
    title="Depth Anything V2",
    meaning="disparity",
    licence="Apache-2.0",
    research_only=True,
    gives_intrinsics=True,
    temporally_steady=True,
    settings=CAPABILITIES.engines[0].settings,
    available=False,
    missing="Run this.",
)
PACKAGE = PackageInfo(
    name="depth-anything-v2-small",
    title="Depth Anything V2 Small",
    licence="Apache-2.0",
    research_only=True,
    size_bytes=100_000_000,
    source="https://huggingface.co/depth-anything/Depth-Anything-V2-Small-hf",
    there=True,
)
MESSAGES_1_1 = [
    m.SubmitJob(job_id=JOB, request=r.BuildMesh(clip=CLIP, mesh=MESH_1_1)),
    m.JobState(job_id=JOB, phase="running", share=0.25),
    m.Item(job_id=JOB, index=0, name="frame", size=3, checksum="0123456789abcdef" * 2),
    m.ErrorReply(code="rate_limited", message="Wait a little."),
    m.SubmitJob(job_id=JOB, request=ESTIMATE),
    m.SubmitJob(job_id=JOB, request=r.BuildMesh(clip=CLIP, mesh=PAINTED)),
    m.Capabilities(estimators=(ESTIMATOR,)),
    m.Hello(client_id=JOB, minor=1, operator="secret"),
    m.JobState(job_id=JOB, phase="queued", owner="artist"),
    m.SubmitJob(job_id=JOB, request=r.BuildMesh(clip=CLIP, mesh=MESH_1_1, visible_only=(0, 20))),
    m.SubmitJob(
        job_id=JOB,
        request=r.RenderGuides(
            clip=CLIP,
            trajectory=TRAJECTORY,
            objects=(
                r.ObjectSpec(vertices=BLOB, faces=BLOB, name="Wall"),
                r.ObjectSpec(vertices=BLOB, faces=BLOB, colors=BLOB, moves=True, name="Car"),
            ),
        ),
    ),
    m.SubmitJob(job_id=JOB, request=r.FetchWeights(package="depth-anything-v2-small")),
    m.Capabilities(limits=m.Limits(weights_downloads=True), packages=(PACKAGE,)),
    m.SubmitJob(job_id=JOB, request=r.BuildMesh(clip=CLIP, mesh=r.MeshSpec(grid_side=640, edits=MESH.edits))),
    m.SubmitJob(job_id=JOB, request=r.BuildMesh(clip=CLIP, footage="light", plays_frames=49)),
    m.Item(job_id=JOB, index=0, name="colour", frame=3, encoding="jpeg", dtype="|u1", shape=(4, 3, 3), size=3),
    m.Credit(job_id=JOB, more=8, freed=24, attempt=2),
]

# Live views and costs came with 1.1 whole.
LIVE_CLIENT_MESSAGES = [
    m.LiveView(
        view="shot", sequence=7, clip=CLIP, trajectory=TRAJECTORY, mesh=MESH, raster=RASTER, scale=0.5, picture=False
    ),
    m.LiveView(
        view="shot",
        sequence=8,
        clip=CLIP,
        trajectory=TRAJECTORY,
        objects=(r.ObjectSpec(vertices=BLOB, faces=BLOB, moves=True, name="Car"),),
        object_frames=49,
        object_start=12,
    ),
    m.ProveBlobs(proofs=(m.BlobProof(sha256=SHA, size=5, proof="cd" * 32),)),
    m.CostQuery(engine="wan", num_frames=120, width=512, height=288, settings={"mode": "fast", "steps": 25}),
]
LIVE_SERVER_MESSAGES = [
    m.LivePicture(view="shot", sequence=7, frame=2, width=4, height=3, coverage=0.5, offset=16, done=False),
    m.LiveCoverage(view="shot", sequence=7, frames=(0, 2), coverage=(0.25, 1.0), done=True),
    m.LiveProgress(view="shot", sequence=7, stage="read", done=3, total=49),
    m.LiveSuperseded(view="shot", sequence=7),
    m.BlobsMissing(missing=(m.BlobProgress(sha256=SHA, received=2, prove=True),), nonce="ef" * 16),
    m.CostReply(
        cost=Cost(
            engine="wan",
            frames=120,
            width=512,
            height=288,
            windows=3,
            passes=2,
            tiles=4,
            forwards=150,
            gpu="RTX 4090",
            gpu_bytes=24 << 30,
            free_bytes=23 << 30,
            plan="fp8",
            peak_bytes=17 << 30,
            seconds=95.5,
            problem="Too large.",
        )
    ),
]

FILMED = r.ClipSpec(
    video=CLIP.video,
    depth=CLIP.depth,
    source_camera=r.SourceCameraSpec(
        num_frames=1, width=64, height=48, world_from_camera=b"\0" * 128, intrinsics=b"\1" * 32, origin="estimated"
    ),
)
SOLVE = r.SolveCamera(clip=CLIP, matte=r.Media(kind="image_sequence", blobs=(BLOB, BLOB)), find_focal="changing")
MESSAGES_1_3: list[m.ClientMessage | m.ServerMessage] = [
    m.SubmitJob(job_id=JOB, request=r.RenderGuides(clip=FILMED, trajectory=TRAJECTORY)),
    m.SubmitJob(job_id=JOB, request=SOLVE),
    m.LiveView(view="shot", sequence=1, clip=FILMED, trajectory=TRAJECTORY),
    m.SubmitJob(job_id=JOB, request=r.WebPage(clip=CLIP, take=BLOB, take_number=3, frames=(BLOB, BLOB), side=640)),
    m.LiveView(
        view="shot",
        sequence=2,
        clip=CLIP,
        trajectory=TRAJECTORY,
        on_plane=True,
        planes="remove floor",
        preview={"fill": "world", "softness": 0.25},
    ),
    m.LivePicture(
        view="shot",
        sequence=2,
        place="unknown",
        why="There is not enough memory.",
        frame=0,
        width=4,
        height=3,
        coverage=0.5,
        preview="shown",
    ),
]
