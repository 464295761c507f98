"""JupyterHub on one machine for a class: no network, no node, nothing to install for the users.

The folder comes from ``sudo python3.11 install.py --hub /opt/ensemble_lab``. In a folder that only
root reads, as the hub keeps its cookie secret and its database there:

    /opt/ensemble_lab/.venv/bin/jupyterhub -f /opt/ensemble_lab/recipes/hub/jupyterhub_config.py

Who has an account on this machine logs in with its password, and gets a copy of the notebooks.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"

c = get_config()  # noqa: F821 (JupyterHub's own)
c.JupyterHub.bind_url = "http://:8000"
c.ConfigurableHTTPProxy.command = [str(BIN / "configurable-http-proxy")]  # it is in Python
c.Authenticator.allow_all = True  # or allowed_users = {"ada", "grace"}

# From our environment, so that the widgets' page and kernel fit together.
c.Spawner.cmd = ["/bin/sh", str(FOLDER / "recipes/hub/start.sh"), str(FOLDER)]
c.Spawner.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
c.Spawner.start_timeout = 120  # thirty at once, on one disk
# Told to the users' pages only: nothing here can enforce it. docs/offline.md says what does.
c.Spawner.mem_limit = "2G"
# A kernel that nobody has used for an hour, or whose tab is closed, gives its memory back.
c.Spawner.args = [
    "--MappingKernelManager.cull_idle_timeout=3600",
    "--MappingKernelManager.cull_connected=True",
]
