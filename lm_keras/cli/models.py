"""`lm-keras models`: pretrained models by name."""

from lm_keras.cli.options import Commands


def add_commands(commands: Commands) -> None:
    """Adds `models list` and `models fetch` to the commands of `lm-keras`."""
    actions = commands.add_parser("models", help="pretrained models by name").add_subparsers(
        dest="action", required=True
    )
    listing = actions.add_parser("list", help="names, licences and where they are")
    listing.set_defaults(call=list_models)
    fetching = actions.add_parser("fetch", help="bring a model into the cache; prints its path")
    fetching.set_defaults(call=fetch)
    fetching.add_argument("name")


def list_models(options):
    from lm_keras.models.pretrained.named import MODELS, describe

    for name in MODELS:
        print(describe(name))


def fetch(options):
    from lm_keras.models.pretrained.named import fetch

    print(fetch(options.name))
