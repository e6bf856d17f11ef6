"""Reading and writing CT volumes and masks, with their geometry.

Arrays are (z, y, x) and hold Hounsfield units (HU); `SimpleITK.Image` carries the geometry, in its own order (x, y, z),
in mm and in the patient's LPS axes (left, posterior, superior).
"""

from hccbook.images.ct import read_image
from hccbook.images.geometry import from_array, same_grid, to_array, volume_ml
from hccbook.images.masks import mask_file, organ_in, read_label_map, read_mask, read_masks, split_mask_path
from hccbook.images.nifti import is_nifti, write_image
