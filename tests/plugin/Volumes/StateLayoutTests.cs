// SPDX-License-Identifier: Apache-2.0
using FsCheck;
using FsCheck.Fluent;
using NUnit.Framework;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

sealed class StateLayoutTests
{
    [Test]
    public void Different_names_are_different_files_in_the_folder() =>
        Check.QuickThrowOnFailure(
            Prop.ForAll<NonEmptyString, NonEmptyString>(
                (one, other) =>
                {
                    // Lone surrogates have no bytes of their own; no JSON string that the engine writes has any.
                    if (!IsText(one.Get) || !IsText(other.Get))
                        return true;
                    var (a, b) = (StateLayout.FileName(one.Get), StateLayout.FileName(other.Get));
                    return Path.GetFileName(a) == a
                        && a is not ("" or "." or "..")
                        && !a.StartsWith('.')
                        && (a == b) == (one.Get == other.Get);
                }
            )
        );

    [Test]
    public void A_name_is_found_again_from_its_file() =>
        Check.QuickThrowOnFailure(
            Prop.ForAll<NonEmptyString>(name =>
                !IsText(name.Get) || StateLayout.NameOf(StateLayout.FileName(name.Get)) == name.Get
            )
        );

    [TestCase("a b")]
    [TestCase("%")]
    [TestCase("%6")]
    [TestCase("%61")]
    [TestCase("%ff")]
    [TestCase(".x")]
    [TestCase("ü")]
    public void A_file_that_no_name_became_has_no_volume(string file) => Assert.That(StateLayout.NameOf(file), Is.Null);

    [Test]
    public void A_mount_id_is_found_again_from_its_directory() =>
        Check.QuickThrowOnFailure(
            Prop.ForAll<NonEmptyString>(id =>
                !IsText(id.Get) || StateLayout.DirId(id.Get) is not { } dirId || StateLayout.MountId(dirId) == id.Get
            )
        );

    [Test]
    public void Dockers_ids_are_their_own_directories() =>
        Assert.That(StateLayout.DirId(new string('a', 64)), Is.EqualTo(new string('a', 64)));

    static bool IsText(string text)
    {
        var utf8 = System.Text.Encoding.UTF8;
        return utf8.GetString(utf8.GetBytes(text)) == text;
    }
}
