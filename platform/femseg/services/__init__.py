"""The only importers of Ray and MLflow.

Importing this package makes the engines silent before any of them is loaded. It has to happen here because each of them
reads its environment when it is imported.
"""

from femseg.services import silence as silence
