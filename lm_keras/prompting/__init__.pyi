from ..models.learned import LearnedPrompt as LearnedPrompt
from .classifier import PromptClassifier as PromptClassifier
from .template import Template as Template
from .tuning import PrefixTuning as PrefixTuning
from .tuning import PromptTuning as PromptTuning
from .verbalizer import Verbalizer as Verbalizer
