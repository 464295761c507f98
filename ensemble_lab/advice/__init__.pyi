from .advice import Advice as Advice
from .advice import advise as advise
from .pool import Candidate as Candidate
