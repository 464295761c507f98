from .advice import Advice as Advice
from .advice import advise as advise
from .chosen import accuracy_from_choices as accuracy_from_choices
from .grading import accuracy_from_grades as accuracy_from_grades
from .grading import rows_to_grade as rows_to_grade
from .page import write_advice as write_advice
from .pool import Candidate as Candidate
from .saving import save_advised as save_advised
