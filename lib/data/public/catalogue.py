"""What the book knows of each public data set: where it lies, how to tell it is whole, whose it is.

Checksums: those of the CycleGAN archives are in the list of TensorFlow Datasets, those of MNIST and SVHN in
torchvision. Nobody published any for the pix2pix archives; the first fetch prints the one it computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from lib.data.public.error import PublicDataError


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set."""

    path: str
    """where it is kept, below the data folder"""
    urls: tuple[str, ...]
    """addresses of the same file, the preferred one first"""
    size: int | None = None
    """bytes"""
    checksum: str | None = None
    """sha256:… or md5:…; None where nobody published one"""


@dataclass(frozen=True)
class Source:
    """A public data set. Without `files` it must be asked for by hand; `by_hand` says how."""

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    folder: str
    """where the readers of this package find it, below the data folder"""
    files: tuple[RemoteFile, ...] = ()
    by_hand: str = ""

    @property
    def size(self) -> int | None:
        """Bytes to download; None where that is not known."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if sizes and len(sizes) == len(self.files) else None

    def card(self) -> str:
        """Title, size, licence, citation and homepage, for a reader to see before anything is downloaded."""
        size = f"{self.size / 1e6:.0f} MB" if self.size else "size not published"
        lines = [f"{self.title} ({size if self.files else 'by hand'})", f"licence   {self.licence}"]
        return "\n".join([*lines, f"cite      {self.citation}", f"homepage  {self.homepage}"])


_ZHU = (
    "Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using "
    "Cycle-Consistent Adversarial Networks, ICCV 2017"
)
_ISOLA = "Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017"
_CMP = "Tyleček, Šára: Spatial Pattern Templates for Recognition of Objects with Regular Structure, GCPR 2013"
_LIU = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015"
_LEE = "Lee, Liu, Wu, Luo: MaskGAN: Towards Diverse and Interactive Facial Image Manipulation, CVPR 2020"
_CORDTS = "Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016"
_LECUN = "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 1998"
_NETZER = "Netzer et al.: Reading Digits in Natural Images with Unsupervised Feature Learning, NIPS workshop 2011"
_UNSTATED = (
    "none is stated with the archive; the photos belong to their makers, use them for research and teaching only"
)


def _cyclegan(name: str, title: str, size: int, sha256: str, licence: str, citation: str = _ZHU) -> Source:
    urls = (
        f"https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/{name}.zip",
        f"http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/{name}.zip",
    )
    file = RemoteFile(f"archives/{name}.zip", urls, size, f"sha256:{sha256}")
    return Source(name, title, licence, citation, "https://junyanz.github.io/CycleGAN/", name, (file,))


def _pix2pix(name: str, title: str, licence: str) -> Source:
    own = f"pix2pix-{name}"
    urls = (
        f"http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{name}.tar.gz",
        f"https://people.eecs.berkeley.edu/~tinghuiz/projects/pix2pix/datasets/{name}.tar.gz",
    )
    file = RemoteFile(f"archives/{own}.tar.gz", urls)
    return Source(own, title, licence, _ISOLA, "https://phillipi.github.io/pix2pix/", own, (file,))


def _mnist() -> Source:
    parts = (
        ("train-images-idx3-ubyte.gz", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", 28881, "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", 1648877, "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", 4542, "ec29112dd5afa0611ce80d1b7f02629c"),
    )
    hosts = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
    files = tuple(
        RemoteFile(f"MNIST/raw/{name}", tuple(host + name for host in hosts), size, f"md5:{md5}")
        for name, size, md5 in parts
    )
    licence = "CC BY-SA 3.0, as commonly stated; derived from NIST Special Databases 1 and 3"
    return Source("mnist", "MNIST, 70,000 handwritten digits", licence, _LECUN, "http://yann.lecun.com/exdb/mnist/",
                  "MNIST", files)  # fmt: skip


_SVHN = (
    ("train_32x32.mat", 182040794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
    ("test_32x32.mat", 64275384, "eb5a983be6a315427106f1b164d9cef3"),
)
_SVHN_EXTRA = (("extra_32x32.mat", 1329278602, "a93ce644f1a588dc4d68dda5feec44a7"),)


def _svhn(name: str, title: str, parts: tuple[tuple[str, int, str], ...]) -> Source:
    host = "http://ufldl.stanford.edu/housenumbers/"
    files = tuple(RemoteFile(f"SVHN/{path}", (host + path,), size, f"md5:{md5}") for path, size, md5 in parts)
    return Source(name, title, "non-commercial use only", _NETZER, host, "SVHN", files)


def _by_hand(name: str, title: str, licence: str, citation: str, homepage: str, folder: str, files: str) -> Source:
    by_hand = f"Its makers hand it out themselves: ask for it at {homepage}, then place {files} in '{{folder}}'."
    return Source(name, title, licence, citation, homepage, folder, by_hand=by_hand)


_IMAGENET = "photos from ImageNet: non-commercial research and teaching"
_FLICKR = "photos from Flickr, each with its own licence: research and teaching only"
_PAINTINGS = "paintings from WikiArt, photos from Flickr: research and teaching only"
_MAPS = "images of Google Maps, under its terms of service: research and teaching only"
_FACADES = "CMP Facade Database: see the terms on its homepage http://cmp.felk.cvut.cz/~tylecr1/facade/"
_RESEARCH = "non-commercial research and teaching"

_ALL = (
    _mnist(),
    _svhn("svhn", "SVHN, 99,289 cropped house numbers", _SVHN),
    _svhn("svhn-extra", "SVHN extra, 531,131 easier house numbers", _SVHN_EXTRA),
    _cyclegan(
        "facades", "Facades, photos and label maps, paired by name", 35135868,
        "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0", _FACADES, _CMP,
    ),
    _cyclegan(
        "maps", "Aerial photos and maps of New York, paired by name", 1476754427,
        "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e", _MAPS, _ISOLA,
    ),
    _cyclegan(
        "horse2zebra", "Horses and zebras", 116867962,
        "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", _IMAGENET,
    ),
    _cyclegan(
        "apple2orange", "Apples and oranges", 78456409,
        "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8", _IMAGENET,
    ),
    _cyclegan(
        "summer2winter_yosemite", "Yosemite in summer and in winter", 132640856,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9", _FLICKR,
    ),
    _cyclegan(
        "iphone2dslr_flower", "Flowers by telephone and by camera", 339964458,
        "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113", _FLICKR,
    ),
    _cyclegan(
        "monet2photo", "Monet's paintings and landscape photos", 305231073,
        "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04", _PAINTINGS,
    ),
    _cyclegan(
        "cezanne2photo", "Cézanne's paintings and landscape photos", 279885071,
        "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff", _PAINTINGS,
    ),
    _cyclegan(
        "vangogh2photo", "Van Gogh's paintings and landscape photos", 306590349,
        "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff", _PAINTINGS,
    ),
    _cyclegan(
        "ukiyoe2photo", "Ukiyo-e prints and landscape photos", 292946532,
        "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08", _PAINTINGS,
    ),
    _pix2pix("facades", "Facades, photo and label map side by side", _FACADES),
    _pix2pix("maps", "Aerial photo and map side by side", _MAPS),
    _pix2pix("edges2shoes", "Edges and photos of shoes side by side", _UNSTATED),
    _pix2pix("edges2handbags", "Edges and photos of handbags side by side", _UNSTATED),
    _pix2pix("night2day", "One place by night and by day, side by side", _UNSTATED),
    _by_hand(
        "celeba", "CelebA, 202,599 aligned faces with 40 attributes", _RESEARCH, _LIU,
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html", "celeba",
        "the folder img_align_celeba, list_attr_celeba.txt, list_eval_partition.txt, identity_CelebA.txt, "
        "list_bbox_celeba.txt and list_landmarks_align_celeba.txt",
    ),
    _by_hand(
        "celebamask-hq", "CelebAMask-HQ, 30,000 faces with label maps of 19 classes", _RESEARCH, _LEE,
        "https://github.com/switchablenorms/CelebAMask-HQ", "CelebAMask-HQ",
        "CelebA-HQ-img, CelebAMask-HQ-mask-anno, CelebAMask-HQ-attribute-anno.txt and CelebA-HQ-to-CelebA-mapping.txt",
    ),
    _by_hand(
        "cityscapes", "Cityscapes, 5,000 street scenes with label maps", _RESEARCH, _CORDTS,
        "https://www.cityscapes-dataset.com", "cityscapes",
        "the folders leftImg8bit (leftImg8bit_trainvaltest.zip) and gtFine (gtFine_trainvaltest.zip)",
    ),
)  # fmt: skip

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
"""Name -> data set, in the order in which a list shows them."""


def source_named(name: str) -> Source:
    """The data set called `name`.

    Raises:
        PublicDataError: there is none; the message lists those that exist.
    """
    if name not in SOURCES:
        raise PublicDataError(f"There is no data set '{name}'; choose one of {', '.join(SOURCES)}.")
    return SOURCES[name]
