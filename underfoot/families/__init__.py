"""The six families (设备类别). Adding one is adding its file, its line here and its migration."""

from underfoot.families.cover import COVER
from underfoot.families.declaration import Column, Family, Values
from underfoot.families.lamp import LAMP
from underfoot.families.pipe import PIPE
from underfoot.families.pump import PUMP
from underfoot.families.rain import RAIN
from underfoot.families.road import ROAD

FAMILIES: dict[str, Family] = {family.name: family for family in (COVER, ROAD, PIPE, PUMP, RAIN, LAMP)}

__all__ = ["FAMILIES", "Column", "Family", "Values"]
