"""Our own format: classifiers of this library, and guards of any, in safetensors."""
