"""What the HTTP service says and accepts; never imports torch and never decodes an image."""
