// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Requests;

namespace Runai.GpuMemory.Tests.Admission;

/// <summary>The files of <c>cases/</c>. Containers are those of <c>bob</c>, who is no admin. The engine of other calls
/// has the container <c>web</c>.</summary>
sealed class GoldenCaseTests : AuthorizerFixture
{
    static IEnumerable<TestCaseData> Containers =>
        GoldenCase
            .All()
            .Where(golden => golden.Calls.Length == 0)
            .Select(golden => new TestCaseData(golden).SetArgDisplayNames(golden.ToString()));

    static IEnumerable<TestCaseData> OtherCalls =>
        from golden in GoldenCase.All()
        from call in golden.Calls
        select new TestCaseData(golden, call).SetArgDisplayNames(golden.ToString(), call);

    [TestCaseSource(nameof(Containers))]
    public void A_container_is_judged_as_its_file_says(GoldenCase golden)
    {
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(golden.Body), out var body, out var problem), problem);
        var settings = PolicySettings.BuiltIn;
        if (golden.Policy is { } policy)
        {
            (var read, var problems) = PolicyReader.Read(Encoding.UTF8.GetBytes(policy));
            Assert.That(problems, Is.Empty);
            settings = read!;
        }
        var verdict = PolicyRules.Evaluate(
            new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(body!, null, [], "runc"),
            settings.IsBuiltIn ? Requester.Engine : settings.RequesterOfRecord("bob"),
            golden.HasNoGpus ? [] : new FakeGpus().Devices,
            settings
        );
        golden.Check(
            verdict.Reasons.Select(reason => reason.Rule),
            verdict.Message,
            verdict.IsAllowed ? verdict.Quota?.Text : null
        );
    }

    [TestCaseSource(nameof(OtherCalls))]
    public async Task A_call_is_answered_as_its_file_says(GoldenCase golden, string call)
    {
        Engine.Containers["1"] = new() { Id = new('1', 64), Name = "/web" };
        if (golden.Policy is { } policy)
        {
            await File.WriteAllTextAsync(Path.Combine(Folder, "gpu-memory.json"), policy);
            Services.GetRequiredService<PolicySource>().Refresh();
        }
        var (method, uri) = call.Split(' ') is [var first, var second] ? (first, second) : ("", "");
        var answer = await Authorizer.BeforeAsync(Call(method, uri, golden.Body, golden.User), CancellationToken.None);
        golden.Check(answer.Allow ? [] : RulesOfLastRefusal(), answer.Msg ?? "", quota: null);
    }

    string[] RulesOfLastRefusal() => Log.Lines[^1].Split(" rule=")[1].Split(' ')[0].Split(',');

    [TestCase("--- body\n{}\n")]
    [TestCase("--- body\n{}\n--- message\n\n")]
    [TestCase("--- rule\nallowed\n--- body\n{}\n--- mesage\n\n")]
    [TestCase("--- rule\nquota-syntax\n--- body\n{}\n")]
    [TestCase("--- rule\nallowed\n--- body\n{}\n--- quota\n0.5\n")]
    [TestCase("--- rule\nallowed\n--- body\n{}\n--- message\nno\n")]
    public void An_incomplete_or_wrong_file_fails(string text) =>
        Assert.That(() => Written(text).Check([], "", null), Throws.Exception);

    [Test]
    public void Updating_writes_the_message_and_nothing_else()
    {
        const string Before = "--- rule\na\n\nb\n--- message\nold\n--- body\n{ }\n\n";
        var words = string.Join(' ', Enumerable.Repeat("word", 30));
        Written(Before).WriteMessage(words);
        var after = File.ReadAllText(Path.Combine(Folder, "x.case"));
        Assert.That(after.Split('\n'), Has.All.Length.LessThanOrEqualTo(100));
        Assert.That(after.Replace("word\nword", "word word"), Is.EqualTo(Before.Replace("old", words)));
    }

    GoldenCase Written(string text)
    {
        var path = Path.Combine(Folder, "x.case");
        File.WriteAllText(path, text);
        return new(path) { Updates = false };
    }
}
