"""The MLflow model that training writes, in its three flavours."""
