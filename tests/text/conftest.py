from hypothesis import settings

# A first example pays for tables and traced functions, and the machine may be busy: time is not what fails here.
settings.register_profile("text", deadline=None)
settings.load_profile("text")
