"""Settings of every test: a property holds or fails by its examples, never by how long a busy machine takes over one."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
