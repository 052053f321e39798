// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Status;
using Runai.GpuMemory.Tests.Volumes;

namespace Runai.GpuMemory.Tests.Status;

/// <summary>Whoever is in a container can write anything there.</summary>
sealed class RefusalFilesTests
{
    const string Directory = "0123";
    VolumesUnderTest _volumes = null!;
    RefusalFiles _files = null!;

    string Usage => System.IO.Path.GetDirectoryName(Path)!;

    string Path => System.IO.Path.Combine(_volumes.Layout.Mount(Directory), "usage", RefusalFiles.Name);

    [SetUp]
    public void SetUp()
    {
        _volumes = new();
        _files = new(_volumes.Layout);
        System.IO.Directory.CreateDirectory(Usage);
        File.SetUnixFileMode(Usage, File.GetUnixFileMode(Usage) | UnixFileMode.StickyBit);
    }

    [TearDown]
    public void TearDown() => _volumes.Dispose();

    static Dictionary<string, Refusals> Parse(string text) => RefusalFiles.Parse(Encoding.UTF8.GetBytes(text));

    [Test]
    public void Each_line_has_a_GPUs_count_and_last_refusal()
    {
        File.WriteAllText(Path, "GPU-1 3 1048576 1764496800123      \nGPU-2 1 5 0\n");
        var found = _files.Read(Directory)!;
        Assert.That(
            found["GPU-1"],
            Is.EqualTo(new Refusals(3, 1048576, new(2025, 11, 30, 10, 0, 0, 123, TimeSpan.Zero)))
        );
        Assert.That(found["GPU-2"], Is.EqualTo(new Refusals(1, 5, DateTimeOffset.UnixEpoch)));
    }

    /// <summary>The engine reads the status as JSON into floating-point numbers, and rounds larger ones up.</summary>
    [Test]
    public void Numbers_are_cut_to_what_the_engine_passes_on_exactly() =>
        Assert.That(
            Parse("GPU-1 9223372036854775807 9007199254740993 5")["GPU-1"],
            Is.EqualTo(new Refusals((1L << 53) - 1, (1L << 53) - 1, DateTimeOffset.UnixEpoch.AddMilliseconds(5)))
        );

    [Test]
    public void What_the_container_sees_is_not_known_without_its_mount()
    {
        File.WriteAllText(Path, "GPU-1 3 1048576 1764496800123\n");
        File.SetUnixFileMode(Usage, File.GetUnixFileMode(Usage) & ~UnixFileMode.StickyBit);
        Assert.That(_files.Read(Directory), Is.Null);
        Assert.That(_files.Read("4567"), Is.Null);
    }

    [TestCase("")]
    [TestCase("\n\n")]
    [TestCase("GPU-1")]
    [TestCase("GPU-1 3 4")]
    [TestCase("GPU-1 3 4 5 6")]
    [TestCase("GPU-1 -3 4 5")]
    [TestCase("GPU-1 +3 4 5")]
    [TestCase("GPU-1 3e4 4 5")]
    [TestCase("GPU-1 99999999999999999999 4 5")]
    [TestCase("GPU-1  3 4 5")]
    [TestCase(" 3 4 5")]
    [TestCase("G\u001b[31m 3 4 5")]
    [TestCase("GPU\"1 3 4 5")]
    [TestCase("GPU-1 3 4 5\r")]
    [TestCase("GPU-123456789012345678901234567890123456789012345678901234567890123456789 3 4 5")]
    public void What_is_of_another_form_does_not_count(string text) => Assert.That(Parse(text), Is.Empty);

    [Test]
    public void The_first_line_of_a_GPU_counts()
    {
        Assert.That(Parse("G 1 2 3\nG 9 9 9\n")["G"].Count, Is.EqualTo(1));
        Assert.That(Parse($"G 1 2 {long.MaxValue}")["G"].LastTime, Is.Null);
    }

    [Test]
    public void A_file_of_another_size_counts_as_none()
    {
        Assert.That(_files.Read(Directory), Is.Empty, "no file");
        File.WriteAllText(Path, new string('x', 1 << 20) + "\nG 1 2 3\n");
        Assert.That(_files.Read(Directory), Is.Empty, "beyond the bound");
        File.Delete(Path);
        File.WriteAllText(Path + "2", "G 1 2 3\n");
        File.CreateSymbolicLink(Path, Path + "2");
        Assert.That(_files.Read(Directory), Is.Empty, "a link");
        File.Delete(Path);
        System.IO.Directory.CreateDirectory(Path);
        Assert.That(_files.Read(Directory), Is.Empty, "a folder");
        System.IO.Directory.Delete(Path);
        Assert.That(Sh.Run($"mkfifo {Path}").Code, Is.Zero);
        Assert.That(_files.Read(Directory), Is.Empty, "a pipe that nobody writes to");
    }

    [Test]
    public void Any_bytes_are_read_without_a_failure()
    {
        var random = new Random(1);
        for (var n = 0; n < 2000; n++)
        {
            var text = new byte[random.Next(300)];
            random.NextBytes(text);
            for (var at = 0; at < text.Length; at++)
                if (random.Next(3) > 0)
                    text[at] = (byte)"GPU-0123456789 \n"[random.Next(16)];
            Assert.That(() => RefusalFiles.Parse(text), Throws.Nothing);
        }
    }
}
