"""What people look at: pictures, curves and pages."""
