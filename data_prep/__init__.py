"""From the archives of data sets to TFRecords: one converter per data set over one core."""
