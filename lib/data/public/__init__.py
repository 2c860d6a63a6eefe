"""Public data sets: fetched safely, read from disk in the format of the worlds.

`fetch` and `install` bring a data set here, the readers are finite `Samples`, a `Geometry` brings them to one
size, and a `DataStream` makes endless, resumable batches. Nothing is downloaded unless `install` or
``python -m lib data fetch NAME`` is called.
"""

from lib.data.public.archives import ArchiveError, Limits, extract
from lib.data.public.attributes import HAIR, UNKNOWN
from lib.data.public.catalogue import SOURCES, RemoteFile, Source, source_named
from lib.data.public.celebamask import CelebAMaskHQ
from lib.data.public.cityscapes import Cityscapes
from lib.data.public.download import DownloadError, OfflineError, UnverifiedError, fetch
from lib.data.public.error import PublicDataError
from lib.data.public.geometry import Geometry
from lib.data.public.install import install
from lib.data.public.paired import FACADE_CLASSES, MatchedFolders, SideBySide
from lib.data.public.samples import ImageFolder, Samples, Subset, holdout
from lib.data.public.stream import DataStream, UnpairedStream, collect
from lib.data.public.torchvision_sets import CelebA, Digits, mnist, svhn
from lib.data.public.unpaired import unpaired_domain, unpaired_stream

__all__ = [
    "FACADE_CLASSES",
    "HAIR",
    "SOURCES",
    "UNKNOWN",
    "ArchiveError",
    "CelebA",
    "CelebAMaskHQ",
    "Cityscapes",
    "DataStream",
    "Digits",
    "DownloadError",
    "Geometry",
    "ImageFolder",
    "Limits",
    "MatchedFolders",
    "OfflineError",
    "PublicDataError",
    "RemoteFile",
    "Samples",
    "SideBySide",
    "Source",
    "Subset",
    "UnpairedStream",
    "UnverifiedError",
    "collect",
    "extract",
    "fetch",
    "holdout",
    "install",
    "mnist",
    "source_named",
    "svhn",
    "unpaired_domain",
    "unpaired_stream",
]
