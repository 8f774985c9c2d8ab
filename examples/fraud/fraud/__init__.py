"""Card fraud: a model that is trained on the cluster and scores transactions behind Ray Serve."""
