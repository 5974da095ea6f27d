from .classifier import PromptClassifier as PromptClassifier
from .template import Template as Template
from .verbalizer import Verbalizer as Verbalizer
