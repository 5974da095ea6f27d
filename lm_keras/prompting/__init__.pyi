from ..models.learned import LearnedPrompt as LearnedPrompt
from .harness import TaskResult as TaskResult
from .harness import evaluate_task as evaluate_task
from .tuning import PrefixTuning as PrefixTuning
from .tuning import PromptTuning as PromptTuning
