import subprocess
import sys

SCRIPT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        absent = "pydantic yaml SimpleITK scipy pydicom rich ray mlflow matplotlib monai"
        if name.split(".")[0] in absent.split():
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Refuse())
import femseg.networks.vnet, femseg.progress, femseg.training.trainer, femseg.training.settings
"""


def test_networks_and_training_need_only_torch_numpy_and_safetensors():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
