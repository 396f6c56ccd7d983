"""What int8 costs, tensor by tensor and layer by layer."""
