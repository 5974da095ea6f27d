from . import analysis as analysis
from . import data as data
from . import embeddings as embeddings
from . import generation as generation
from . import losses as losses
from . import models as models
from . import serving as serving
from . import tasks as tasks
from . import text as text
from . import training as training
from .errors import InputError as InputError
from .language_model import LanguageModel as LanguageModel
from .quantization import quantize as quantize
from .serving.checking import check as check
from .serving.exporting import export as export
from .training.config import TrainingConfig as TrainingConfig
from .training.evaluation import evaluate as evaluate
from .training.fitting import fit as fit

__version__: str
