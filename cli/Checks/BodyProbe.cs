// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Whether the engine passes the body of a large call on to its authorization plugins (CVE-2026-34040). The
/// probe makes the volume runai-status with labels of 1.1 MiB: the plugin refuses that name as soon as it sees it, and
/// any call whose body it does not see. Where the engine does not ask, the plugin refuses as a volume driver.</summary>
static class BodyProbe
{
    const string Check = "bodies";
    const string Volume = "runai-status";
    const int Labels = 10; // the kernel takes at most 128 KiB a word
    const int LabelLength = (11 << 20) / 10 / Labels + 1;
    const string Refused = "denied by plugin ";
    const string Seen = " is read, not made, mounted or removed";
    const string Unseen = "the body of this volume call";

    /// <summary>Makes the probe where the plugin is known to refuse it: one without a status does not.</summary>
    public static Finding Find(DockerQuestions questions, PluginChecks plugin, bool hasStatus)
    {
        if (plugin is not { IsAsked: true, Name: { } name } || !hasStatus)
            return Finding.Unknown(Check, "not probed: that needs a plugin that the engine asks, with a status");
        var answer = questions.Ask(["volume", "create", "--driver", name, .. Words(), Volume]);
        if (answer.IsDone)
            questions.Ask("volume", "rm", Volume);
        return Read(answer, plugin);
    }

    static IEnumerable<string> Words() =>
        Enumerable.Range(0, Labels).SelectMany(n => (string[])["--label", $"{n}={new string('x', LabelLength)}"]);

    static Finding Read(DockerAnswer answer, PluginChecks plugin)
    {
        var isRefusal = answer.Error.Contains(Refused, StringComparison.Ordinal);
        if (isRefusal && answer.Error.Contains(Seen, StringComparison.Ordinal))
            return Finding.Ok(Check, "the engine passes on the body of a call of 1.1 MiB");
        if (isRefusal && answer.Error.Contains(Unseen, StringComparison.Ordinal))
            return Finding.Problem(
                Check,
                "the engine does not pass on the body of a call of 1.1 MiB (CVE-2026-34040): the plugin refuses such "
                    + "calls"
                    + (plugin.Others is [] ? "" : $"; {string.Join(", ", plugin.Others)} may let them through unseen"),
                "upgrade Docker Engine to 29.3.1 or later, or to a package of your distribution with this fix"
            );
        return Finding.Unknown(Check, $"the probe did not come to the plugin: {answer.Words}");
    }
}
