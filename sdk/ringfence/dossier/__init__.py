"""What a person, an inspector or a manager is handed: stories, certificates, reports."""
