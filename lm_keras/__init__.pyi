from . import analysis as analysis
from . import contexts as contexts
from . import data as data
from . import embeddings as embeddings
from . import generation as generation
from . import losses as losses
from . import models as models
from . import prompting as prompting
from . import serving as serving
from . import tasks as tasks
from . import text as text
from . import training as training
from .errors import InputError as InputError
from .generation.config import GenerationConfig as GenerationConfig
from .language_model import LanguageModel as LanguageModel
from .language_model import quantize as quantize
from .serving.export.check import check as check
from .serving.export.exporting import export as export
from .text_model import TextModel as TextModel
from .text_model import register_text_model as register_text_model
from .training.config import TrainingConfig as TrainingConfig
from .training.evaluation import evaluate as evaluate
from .training.fit import fit as fit

__version__: str
