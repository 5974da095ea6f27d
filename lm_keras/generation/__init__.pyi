from .beam import beam_search as beam_search
from .contrastive import contrastive_search as contrastive_search
from .loop import decode as decode
from .loop import prefill as prefill
from .sampling import sample as sample
from .scoring import score_ids as score_ids
