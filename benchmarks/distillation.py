"""Speed of distillation: many students of one teacher in one batch, and one after another.

Run with ``make bench BENCH=distillation``.
"""

from benchmarks.parts.students import Students
from benchmarks.training import QUICK, compared

STUDENTS = Students(members=32, epochs=15)


def students_vs_loop(quick):
    task = Students(**QUICK) if quick else STUDENTS
    return compared(
        "students-vs-loop",
        task,
        task.loop,
        quick,
        goal="at least 10",
        peer_is="a loop over students in plain PyTorch, fused AdamW, the teacher asked beforehand",
        student_hidden_units=task.hidden,
    )


RECORDS = {"students-vs-loop": students_vs_loop}
