"""The decision and the other pure rules: values in, values out, time as an argument."""
