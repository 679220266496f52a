"""Run the stages `cohort` and `arrays --kind …` with one Ray in each of some folders that hold a params.yaml.

python stage_driver.py [--kind=mask] <folder> …
"""

import os
import sys

from ray.cluster_utils import Cluster

from femseg.exits import command_exit
from pipelines import arrays, cohort


def main() -> None:
    kinds, folders = (
        [word for word in sys.argv[1:] if word.startswith("--kind=") == option] for option in (True, False)
    )
    sys.argv = ["arrays", *(kinds or ["--kind=mask"])]
    os.environ["RAY_ADDRESS"] = Cluster(initialize_head=True, head_node_args={"num_cpus": 2}).address
    for folder in folders:
        os.chdir(folder)
        cohort.main()
        arrays.main()


if __name__ == "__main__":
    with command_exit():
        main()
