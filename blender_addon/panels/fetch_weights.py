"""Missing weights: shown with size, licence and source, downloaded by the backend once a person has agreed."""

import textwrap

import bpy

from ..jobs import weights
from ..work import connecting, session
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator, call, reported
from ..work.properties import Flag, Text
from ..work.tasks import Delivery, Task

TITLE = "Download weights"
WIDTH = 420


class EX4D_OT_fetch_weights(bpy.types.Operator):
    """Show size, licence and source of the missing model weights, and have the backend download them if you agree"""

    bl_idname = "ex4d.fetch_weights"
    bl_label = "Download Weights..."
    bl_options = {"INTERNAL"}

    packages: Text("Packages", "Names of weights, separated by spaces", options={"SKIP_SAVE"})
    agreed: Flag("I Agree", "Download them under the licences shown", options={"SKIP_SAVE"})
    _asked = False

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        try:
            _check(self.packages)
        except AddonError as error:
            self.report({"ERROR"}, error.text("panel"))
            return {"CANCELLED"}
        self._asked = self.agreed = True
        options = {"title": self.bl_label, "confirm_text": "Agree and Download"} if bpy.app.version >= (4, 1, 0) else {}
        return context.window_manager.invoke_props_dialog(self, width=WIDTH, **options)

    def draw(self, _context: bpy.types.Context) -> None:
        column = self.layout.column()
        for line in terms(self.packages):
            for part in textwrap.wrap(line, WIDTH // 7):
                column.label(text=part)

    @reported
    def execute(self, context: bpy.types.Context) -> set[str]:
        _check(self.packages)
        if not self.agreed:
            raise AddonError("Weights are downloaded only after somebody has agreed to their licence and size.")
        blocks = not self._asked or bpy.app.background or context.window is None
        return call(
            bpy.ops.ex4d.download_weights, "EXEC_DEFAULT" if blocks else "INVOKE_DEFAULT", packages=self.packages
        )


class EX4D_OT_download_weights(LongOperator, bpy.types.Operator):
    """Have the backend download weights, and then go on with what they were missing for"""

    bl_label = TITLE
    bl_options = {"INTERNAL", "UNDO"}
    needs_backend, panel = True, "Clip"

    packages: Text("Packages", "Names of weights, separated by spaces", options={"SKIP_SAVE"})

    def begin(self, _context: bpy.types.Context) -> Task:
        current, found = session.get(), _check(self.packages)
        panel, then = current.message_panel, current.waiting_for_weights
        names = ", ".join(package.name for package in found)

        def deliver(_context: bpy.types.Context, _result: None) -> Delivery:
            return Delivery(f"Downloaded: {names}.", changes_scene=False, then=then)

        steps = weights.fetch(current.require_link(), found)
        return current.start(TITLE, steps, panel="Clip" if then is not None else panel, deliver=deliver)


class EX4D_OT_cancel_weights(QuickOperator, bpy.types.Operator):
    """Stop the download; what has arrived is kept, and the next one goes on from there"""

    bl_label = "Cancel Download"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        cls.poll_message_set("No weights are being downloaded")
        return any(task.title == TITLE for task in session.get().tasks)

    def run(self, _context: bpy.types.Context) -> str:
        current = session.get()
        for task in [task for task in current.tasks if task.title == TITLE]:
            current.cancel(task)
        return "The download is stopped; what has arrived is kept."


def terms(packages: str) -> list[str]:
    """What a person agrees to, line by line. Raises AddonError for what the backend does not know."""
    lines: list[str] = []
    for package in weights.find(packages):
        lines += [package.title, f"    {weights.in_words(package)}", f"    from {package.source}"]
    where = "this machine" if session.get().backend is not None else f"the backend at {session.get().address}"
    return [*lines, f"The files stay on {where}; a download that is broken off goes on later."]


def _check(packages: str) -> list[weights.PackageInfo]:
    """The packages. Raises AddonError if there are none such, or if nothing may be downloaded."""
    current = session.get()
    current.require_link()
    found = weights.find(packages)
    if not found:
        raise AddonError("No weights are named that could be downloaded.")
    connecting.require_online("no weights can be downloaded")
    return found
