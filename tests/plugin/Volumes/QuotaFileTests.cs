// SPDX-License-Identifier: Apache-2.0
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using NUnit.Framework;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

sealed class QuotaFileTests
{
    static readonly string Container = new('c', 64);

    static string Text(QuotaFile file) => Encoding.UTF8.GetString(file.ToBytes());

    [Test]
    public void A_limit_is_written_as_the_user_wrote_it() =>
        Assert.That(
            Text(new(Container) { Limit = "1.50GiB" }),
            Is.EqualTo($"version=1\ncontainer={Container}\nlimit=1.50GiB\n")
        );

    [Test]
    public void Single_gpus_may_have_limits_of_their_own() =>
        Assert.That(
            Text(
                new(Container)
                {
                    Limit = "0.5",
                    GpuLimits = new Dictionary<string, string> { ["GPU-2"] = "2g", ["GPU-1"] = "1g" },
                }
            ),
            Does.EndWith("limit=0.5\nlimit.GPU-1=1g\nlimit.GPU-2=2g\n")
        );

    [Test]
    public void An_error_takes_the_limits_place() =>
        Assert.That(
            Text(new(Container) { Limit = "0.5", Error = "gpu-memory=2 is\nwrong" }),
            Is.EqualTo($"version=1\ncontainer={Container}\nerror=gpu-memory=2 is wrong\n")
        );

    [Test]
    public void Any_error_is_one_bounded_line() =>
        Check.QuickThrowOnFailure(
            Prop.ForAll<NonNull<string>, PositiveInt>(
                (part, times) =>
                {
                    var error = new StringBuilder().Insert(0, part.Get + "é€😀", times.Get * 20).ToString();
                    var bytes = new QuotaFile(Container) { Error = error }.ToBytes();
                    return bytes.Length <= QuotaFile.MaxBytes && Encoding.UTF8.GetString(bytes).Split('\n').Length == 4;
                }
            )
        );

    [Test]
    public void Too_many_limits_are_an_error() =>
        Assert.That(
            Text(
                new(Container)
                {
                    Limit = "0.5",
                    GpuLimits = Enumerable.Range(0, 200).ToDictionary(n => $"GPU-{n:d36}", _ => "1g"),
                }
            ),
            Does.Contain("error=")
        );
}
