from .checking import check as check
from .client import Client as Client
from .configuration import serve_config as serve_config
from .exporting import export as export
from .failures import ServingError as ServingError
from .session import query as query
