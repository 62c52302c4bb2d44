"""All methods of `gan.families.methods` under one trainer, with equal time each, measured alike."""
