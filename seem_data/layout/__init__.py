"""THE CONTRACT: where each file of a dataset lies and what is in it. Nothing else knows paths.

::

    dataset/
      dataset.json              name, layout version, options, counts, a fingerprint per split
      categories.json           [{id, name, supercategory, isthing, color}]
      train/  val/  test/       each split is complete in itself
        images/                 the photos, upright
        panoptic/*.png          id = R + 256·G + 256²·B, 0 = void (COCO panoptic)
        panoptic.json           COCO panoptic: images, annotations[segments_info], categories
        semantic/*.png          contiguous category index in the order of categories.json, 255 (65535) = void
        grounding.json          sentences for segments, with polygons (see `GroundedSegment`)
        instances.json          COCO instances of the things (RLE)

`seem_train` imports this package (and the version, and the writers), nothing else of `seem_data`.
"""

from seem_data.annotations import Sentence
from seem_data.categories import Categories, Category, CategoryRow, parse_color
from seem_data.layout.reading import Dataset, Fingerprint, Split, read_grounding, read_json
from seem_data.layout.rows import (
    CATEGORIES_JSON,
    DATASET_JSON,
    FOLDER,
    FOLDERS,
    GROUNDING_JSON,
    IGNORE_8BIT,
    IMAGES,
    INSTANCES_JSON,
    JOURNAL,
    LARGEST_SEGMENT_ID,
    PANOPTIC,
    PANOPTIC_JSON,
    PROBLEMS_JSON,
    REFERRING_KINDS,
    ROW_FILES,
    SEMANTIC,
    SENTENCE_KINDS,
    SPLITS,
    VERSION,
    Counts,
    GroundedSegment,
    GroundingFile,
    GroundingRow,
    ImageRecord,
    ImageRow,
    InstanceRow,
    InstancesFile,
    PanopticFile,
    PanopticRow,
    Segment,
    in_order,
    is_file_name,
    semantic_ignore,
)
from seem_data.layout.writing import SplitWriter, encode_rows, write_categories, write_info
from seem_data.names import BACKGROUND, clean_name, heard_as
from seem_data.problems import DataError, Problem

__all__ = [
    "BACKGROUND",
    "CATEGORIES_JSON",
    "DATASET_JSON",
    "FOLDER",
    "FOLDERS",
    "GROUNDING_JSON",
    "IGNORE_8BIT",
    "IMAGES",
    "INSTANCES_JSON",
    "JOURNAL",
    "LARGEST_SEGMENT_ID",
    "PANOPTIC",
    "PANOPTIC_JSON",
    "PROBLEMS_JSON",
    "REFERRING_KINDS",
    "ROW_FILES",
    "SEMANTIC",
    "SENTENCE_KINDS",
    "SPLITS",
    "VERSION",
    "Categories",
    "Category",
    "CategoryRow",
    "Counts",
    "DataError",
    "Dataset",
    "Fingerprint",
    "GroundedSegment",
    "GroundingFile",
    "GroundingRow",
    "ImageRecord",
    "ImageRow",
    "InstanceRow",
    "InstancesFile",
    "PanopticFile",
    "PanopticRow",
    "Problem",
    "Segment",
    "Sentence",
    "Split",
    "SplitWriter",
    "clean_name",
    "encode_rows",
    "heard_as",
    "in_order",
    "is_file_name",
    "parse_color",
    "read_grounding",
    "read_json",
    "semantic_ignore",
    "write_categories",
    "write_info",
]
