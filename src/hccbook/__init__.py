"""Executable companion to ALARM and aMAP-CT: predicting liver cancer in cirrhosis from three-phase CT."""
