// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Tests.Common;

sealed class AtomicFileTests
{
    [Test]
    public void A_file_is_replaced_and_nothing_stays_beside_it()
    {
        var folder = Directory.CreateTempSubdirectory().FullName;
        var path = Path.Combine(folder, "file");
        AtomicFile.Write(path, "one"u8, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead);
        using var reader = File.OpenText(path);
        AtomicFile.Write(path, "two"u8, UnixFileMode.UserRead);
        Assert.That(reader.ReadToEnd(), Is.EqualTo("one"), "who has it open keeps the old one");
        Assert.That(File.ReadAllText(path), Is.EqualTo("two"));
        Assert.That(File.GetUnixFileMode(path), Is.EqualTo(UnixFileMode.UserRead));
        Assert.That(Directory.GetFileSystemEntries(folder), Has.Length.EqualTo(1));
        Assert.That(
            () => AtomicFile.Write(Path.Combine(folder, "missing", "file"), "x"u8, UnixFileMode.UserRead),
            Throws.InstanceOf<IOException>()
        );
        Directory.Delete(folder, recursive: true);
    }

    [Test]
    public void The_rest_of_a_failed_write_is_overwritten()
    {
        var folder = Directory.CreateTempSubdirectory().FullName;
        var path = Path.Combine(folder, "file");
        File.WriteAllText(path + ".new", "longer than what comes");
        AtomicFile.Write(path, "one"u8, UnixFileMode.UserRead, isLasting: false, beside: path + ".new");
        Assert.That(File.ReadAllText(path), Is.EqualTo("one"));
        Assert.That(Directory.GetFileSystemEntries(folder), Has.Length.EqualTo(1));
        Directory.Delete(folder, recursive: true);
    }
}
