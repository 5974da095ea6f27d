from .examples import NearestExamples as NearestExamples
from .examples import select_examples as select_examples
from .lora import lora as lora
