// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Exporter;

/// <summary>Reads the status for a scrape, and says once what became of it until that changes.</summary>
/// <param name="reader">What asks the plugin.</param>
/// <param name="say">A line for the log.</param>
sealed class StatusSource(StatusReader reader, Action<string> say)
{
    const int MaxReason = 500;
    string _said = "";

    /// <summary>What Prometheus gets.</summary>
    public byte[] Read()
    {
        StatusReport? report = null;
        try
        {
            report = reader.Read();
            Say(StateOf(report, reader.IsOwn));
        }
        catch (UserException e) when (e.ExitCode <= 128)
        {
            Say($"no answer: {Printable.Cut(Printable.Text(e.Message), MaxReason)}");
        }
        catch (UserException) { } // a signal ends the exporter

        return MetricsText.Of(report);
    }

    static string StateOf(StatusReport report, bool isOwn)
    {
        if (report.Enforced == false)
            return "the plugin answers, and the engine does not ask it about API calls: run docker runai doctor";
        return report.Containers is null
                ? "the plugin answers, without containers: the policy (\"status\": \"own\") shows them to admins"
            : isOwn
                ? "the plugin answers, with one user's containers: the policy (\"status\": \"own\") shows all to admins"
            : "the plugin answers";
    }

    void Say(string text)
    {
        if (text == _said)
            return;
        _said = text;
        say(text);
    }
}
