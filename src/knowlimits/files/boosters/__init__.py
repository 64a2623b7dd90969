"""Files of boosting libraries: XGBoost's JSON and UBJSON, LightGBM's text, CatBoost's JSON and cbm."""
