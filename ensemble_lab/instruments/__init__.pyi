from . import metrics as metrics
from .meter import Meter as Meter
from .meter import clock_for as clock_for
from .prices import load_prices as load_prices
from .prices import priced as priced
