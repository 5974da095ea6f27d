from ..models.learned import LearnedPrompt as LearnedPrompt
from .tuning import PrefixTuning as PrefixTuning
from .tuning import PromptTuning as PromptTuning
