from . import advice as advice
from . import answers as answers
from . import catalogue as catalogue
from . import core as core
from . import doctor as doctor
from . import exercises as exercises
from . import explorers as explorers
from . import instruments as instruments
from . import models as models
from . import systems as systems
from . import tokens as tokens
from . import training as training
from . import widgets as widgets
from .advice import *
from .answers import *
from .catalogue import data_folder as data_folder
from .catalogue import describe as describe
from .catalogue import load_curves as load_curves
from .catalogue import load_outcomes as load_outcomes
from .catalogue import load_texts as load_texts
from .catalogue import load_trace as load_trace
from .catalogue import outcomes_catalogue as outcomes_catalogue
from .core import *
from .explorers import *
from .instruments import *
from .models import *
from .systems import *
from .tokens import *
from .training import *

__version__: str
