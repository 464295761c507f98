# What a hub starts for a user, as this user: sh start.sh FOLDER ARGUMENTS
# The notebooks are copied once; what the user writes in them stays when the folder is renewed.
set -e
folder=$1
shift
[ -e notebooks ] || cp -r "$folder/notebooks" notebooks
export JUPYTER_CONFIG_PATH="$folder/binder/jupyter${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH}"
exec "$folder/.venv/bin/jupyterhub-singleuser" "$@"
