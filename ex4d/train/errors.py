"""What goes wrong while training, beside wrong input."""

from ex4d_ground.errors import Ex4dError


class TrainingError(Ex4dError):
    """Training cannot go on; the message says what was kept."""

    code = "training"


class DivergedError(TrainingError):
    """The loss or its gradient is no finite number any more; the message names the step and what was kept."""

    code = "diverged"
