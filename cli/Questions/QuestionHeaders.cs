// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>The headers that make a call a question: the plugin answers it and lets nothing be done.</summary>
/// <param name="User">The TLS name of whom it is asked for; null: the caller.</param>
/// <param name="Policy">The policy file that is asked about; null: the one in force.</param>
sealed record QuestionHeaders(string? User = null, byte[]? Policy = null)
{
    const string Ask = "X-Gpu-Memory-Ask";

    /// <summary>Asked for the caller, about the policy in force.</summary>
    public bool AreEmpty => User is null && Policy is null;

    /// <summary>What begins a config.json of docker's: an object that is still open.</summary>
    /// <param name="what">policy, or call.</param>
    public string Json(string what)
    {
        var json = new StringBuilder($"{{\"HttpHeaders\":{{\"{Ask}\":\"{what}\"");
        if (User is not null)
            Add(json, "User", Word.Of(User));
        if (Policy is not null)
            Add(json, "Policy", Policy);
        return json.Append('}').ToString();
    }

    static void Add(StringBuilder json, string name, byte[] value) =>
        json.Append($",\"{Ask}-{name}\":\"{Convert.ToBase64String(value)}\"");
}
