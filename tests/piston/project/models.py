"""A library: relations of each kind, constraints, and fields that must stay shut."""

from django.db import models


class Publisher(models.Model):
    """Who makes books."""

    name = models.CharField(max_length=100)


class Author(models.Model):
    """Who writes them; `salary` is nobody's business."""

    name = models.CharField(max_length=100)
    publisher = models.ForeignKey(Publisher, models.PROTECT, null=True, blank=True)
    salary = models.IntegerField(default=0)


class Tag(models.Model):
    """What they are about."""

    word = models.SlugField(unique=True)


class Book(models.Model):
    """A book."""

    title = models.CharField(max_length=80, help_text="As it stands on the cover")
    isbn = models.CharField(max_length=13, unique=True, null=True, blank=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag, blank=True, related_name="books")
    pages = models.PositiveIntegerField(default=100)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True, blank=True)
    printed = models.DateTimeField(null=True, blank=True)
    lent = models.BooleanField(default=False)
    notes = models.JSONField(default=dict, blank=True)
    cover = models.FileField(upload_to="covers", blank=True)
    secret = models.CharField(max_length=80, default="hidden")

    class Meta:
        """What the database holds to."""

        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=["author", "title"], name="one_title"),
            models.CheckConstraint(condition=models.Q(pages__gt=0), name="some_pages"),
            models.UniqueConstraint(
                fields=["price"], condition=models.Q(lent=True), name="lent_price"
            ),
        )


class Shelf(models.Model):
    """A place for books; `owner` is set by the server."""

    label = models.CharField(max_length=20)
    owner = models.CharField(max_length=20)
