"""The Filming Camera panel: where it comes from, and how far it can be relied on."""

import bpy

from ..edit import moving, thickness_weights
from ..jobs import solving
from ..panels import previews
from ..panels.base import BOXED, OfShot, Part, hint, paragraph, split_column
from ..panels.clip import below_shot
from ..panels.messages import draw_button
from ..scene import filming, retime, shot
from ..work.hooks import Listeners
from ..work.languages import say


class EX4D_PT_filming(Part, OfShot, bpy.types.Panel):
    bl_label = "Filming Camera"
    bl_parent_id = "EX4D_PT_clip"

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        column = split_column(layout)
        column.prop(props, "filmed_from", text="From")
        match props.filmed_from:
            case "ESTIMATE":
                column.prop(props, "filming_matte")
                _draw_moving(layout, context, props.shot)
                split_column(layout).prop(props, "filming_focal", text="Lens")
                button = draw_button(layout, context, "ex4d.estimate_filming", icon="TRACKER")
                button.matte, button.find_focal = props.filming_matte, props.filming_focal
                if props.shot.ex4d.knows_camera:
                    _draw_known(layout, context, props.shot.ex4d)
            case "CAMERA":
                column.prop(props, "filming_camera")
                column.prop(props, "filming_scale")
                column.prop(props, "filming_places")
                button = draw_button(layout, context, "ex4d.film_from_camera", icon="OUTLINER_OB_CAMERA")
                button.scale, button.place = props.filming_scale, props.filming_places
            case "FILE":
                column.prop(props, "filming_scale")
                button = draw_button(layout, context, "ex4d.film_from_file", icon="FILE_FOLDER")
                button.scale = props.filming_scale
            case _:
                draw_button(layout, context, "ex4d.film_from_nowhere", icon="X")
        target = props.shot.ex4d
        if target.filmed_note:
            paragraph(layout, target.filmed_note, icon="CAMERA_DATA")
        elif not target.filmed_by:
            hint(layout, "Nobody knows how the filming camera moved; a new move keeps its shake.")
        if props.filmed_from == "ESTIMATE":
            icon = previews.thumbnail(shot.output_folder(props.shot) / solving.PICTURE)
            if icon:
                layout.template_icon(icon_value=icon, scale=10.0)


def _draw_known(layout: bpy.types.UILayout, context: bpy.types.Context, shot_: bpy.types.PropertyGroup) -> None:
    """The camera that came with the depth, and which of the two counts."""
    draw_button(layout, context, "ex4d.film_from_depth", icon="IMPORT")
    if not shot_.filmed_note.startswith(filming.depth_words(shot_.depth_estimator)):
        hint(layout, "The depth came with a camera of its own, which is not used; an estimate finds another.")


def _draw_moving(layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object) -> None:
    """What moves by itself: painted with brushes, or selected in Edit Mode."""
    body, shot_ = target.ex4d.mesh, target.ex4d
    if body is None:
        return
    if thickness_weights.is_painting_moving(body):
        row = layout.row(align=True)
        row.operator("ex4d.finish_painting", text="Finish", icon="CHECKMARK")
        row.operator("ex4d.discard_painting", text="Discard", icon="X")
        return
    row = layout.row(align=True)
    row.operator("ex4d.paint_moving", icon="BRUSH_DATA")
    painted = moving.is_painted(target)
    if painted:
        row.prop(shot_, "show_moving", text="", icon="HIDE_OFF" if shot_.show_moving else "HIDE_ON")
    if context.mode == "EDIT_MESH":
        column = layout.column(align=True)
        column.label(text="Selected Vertices")
        column.operator("ex4d.select_object", icon="SELECT_EXTEND")
        row = column.row(align=True)
        row.operator("ex4d.mark_moving", text="Moves")
        row.operator("ex4d.clear_moving", text="Stands Still")
        column.operator("ex4d.select_moving", text="Select Moving", icon="RESTRICT_SELECT_OFF")
    elif painted:
        frame = retime.shown_frame(context, target) - shot_.frame_start
        share = moving.share_at(body.data, frame)
        layout.label(text=say(f"{share:.0%} of this frame moves by itself"), translate=False)


def draw_offer(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """After the import of a clip whose picture moves: to have the filming camera estimated."""
    target = context.scene.ex4d.shot.ex4d
    if not target.seems_to_move or target.filmed_by or target.arriving:
        return
    box = layout.box()
    paragraph(box, "The picture moves as if the filming camera did.", icon="QUESTION", narrower=BOXED)
    if target.knows_camera:
        box.operator("ex4d.film_from_depth", icon="IMPORT")
    row = box.row(align=True)
    row.operator("ex4d.estimate_filming", icon="TRACKER")
    row.operator("ex4d.keep_standing", text="", icon="X")


listeners = Listeners((below_shot, draw_offer))


def draw_steady(layout: bpy.types.UILayout, props: bpy.types.PropertyGroup) -> None:
    """Moves made of the filming camera's own, each a press."""
    if not props.shot.ex4d.filmed_by:
        return
    column = layout.column(align=True)
    column.operator("ex4d.lock_to_world", icon="LOCKED")
    column.operator("ex4d.follow_source", icon="CON_FOLLOWPATH")
    row = column.row(align=True)
    row.operator("ex4d.stabilise", icon="MOD_SMOOTH").strength = props.stabilise_strength
    row.prop(props, "stabilise_strength", text="")
