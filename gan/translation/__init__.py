"""Translating images with a trained run: pictures while it trains, and volumes afterwards."""
