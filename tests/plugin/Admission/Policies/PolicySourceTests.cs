// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Logging;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Tests.Admission.Policies;

sealed class PolicySourceTests
{
    string _folder = null!;
    LineLog _lines = null!;

    string File_ => Path.Combine(_folder, "policy.json");

    [SetUp]
    public void Start() => (_folder, _lines) = (Directory.CreateTempSubdirectory("policy").FullName, new());

    [TearDown]
    public void Stop() => Directory.Delete(_folder, recursive: true);

    PolicySource Open()
    {
        using var factory = LoggerFactory.Create(logging => logging.AddProvider(_lines));
        return new(File_, Path.Combine(_folder, "state", "policy.json"), factory.CreateLogger<PolicySource>());
    }

    void Write(string json, PolicySource? source = null)
    {
        File.WriteAllText(File_ + ".new", json);
        File.Move(File_ + ".new", File_, overwrite: true);
        source?.Refresh();
    }

    [Test]
    public void Without_a_file_the_built_in_policy_is_in_force()
    {
        Assert.That(Open().Current, Is.SameAs(PolicySettings.BuiltIn));
        Assert.That(_lines.Lines, Is.Empty);
    }

    [Test]
    public void A_file_takes_effect_at_once_and_after_changes()
    {
        Write("""{"requireQuota":true}""");
        var source = Open();
        Assert.That(source.Current.Limits.RequireQuota, Is.True);
        Write("""{"requireQuota":false,"mode":"audit"}""", source);
        Assert.That((source.Current.Limits.RequireQuota, source.Current.IsAudit), Is.EqualTo(((bool?)false, true)));
        Assert.That(
            _lines.Lines,
            Is.EqualTo(new[] { $"policy {File_} is in force mode=enforce", $"policy {File_} is in force mode=audit" })
        );
    }

    [Test]
    public void An_unchanged_file_is_not_read_again()
    {
        Write("{}");
        var source = Open();
        var before = source.Current;
        source.Refresh();
        Assert.That(source.Current, Is.SameAs(before));
    }

    [Test]
    public void Listeners_hear_of_another_policy()
    {
        Write("{}");
        var source = Open();
        var told = new List<bool?>();
        source.Changed += () => told.Add(source.Current.Limits.RequireQuota);
        source.Refresh();
        Write("""{"requireQuota":true}""", source);
        Write("""{"requireQuota":""", source);
        source.Refresh();
        File.Delete(File_);
        source.Refresh();
        Assert.That(
            told,
            Is.EqualTo(new bool?[] { true, null }),
            "not of the same file, and not of one that is refused"
        );
    }

    [Test]
    public void An_invalid_file_leaves_the_last_good_policy()
    {
        Write("""{"requireQuota":true}""");
        var source = Open();
        Write("{\"requireQuota\":false,\n\"maxQuota\":\"2\"}", source);
        Assert.That(source.Current.Limits.RequireQuota, Is.True);
        Assert.That(_lines.Lines[^1], Does.Contain("is refused, line 2: maxQuota is not a valid quota"));
    }

    [Test]
    public void The_last_good_policy_outlives_the_plugin()
    {
        Write("""{"requireQuota":true}""");
        Open();
        Write("{");
        Assert.That(Open().Current.Limits.RequireQuota, Is.True);
        Assert.That(_lines.Lines[^1], Does.Contain("the last good one of an earlier run stays in force"));
    }

    [Test]
    public void The_time_of_the_policy_outlives_the_plugin()
    {
        Write("""{"requireQuota":true}""");
        var since = Open().State.Since;
        Assert.That(since, Is.EqualTo(DateTimeOffset.UtcNow).Within(TimeSpan.FromMinutes(5)));
        File.SetLastWriteTimeUtc(
            Path.Combine(_folder, "state", "policy.json"),
            new(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc)
        );
        var source = Open();
        Assert.That(
            (source.State.Since, source.State.Refused.Count),
            Is.EqualTo(((DateTimeOffset?)new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero), 0))
        );
        Write("{", source);
        Assert.That(
            (
                source.State.Since?.Year,
                source.State.Refused.Count,
                Open().State.Since?.Month,
                Open().State.Refused.Count
            ),
            Is.EqualTo(((int?)2026, 1, (int?)1, 1))
        );
        Write("""{"requireQuota":true}""", source);
        Assert.That(
            (source.State.Since?.Month, source.State.Refused.Count),
            Is.EqualTo(((int?)1, 0)),
            "the same again"
        );
        File.Delete(File_);
        source.Refresh();
        Assert.That(source.State.Since, Is.Null);
    }

    [Test]
    public void An_invalid_first_file_refuses_containers_with_GPUs()
    {
        Write("{");
        var source = Open();
        Assert.That(source.Current.Problem, Does.StartWith("its line 1 not JSON"));
        var gpu = new ContainerSpec { Gpu = new("--gpus", GpuSelection.All) };
        Assert.That(
            PolicyRules.Evaluate(gpu, Requester.Engine, [], source.Current).Message,
            Does.StartWith(
                "the policy file of this machine cannot be used, so no container with a GPU or a quota runs "
                    + "(its line 1 not JSON"
            )
        );
        Assert.That(PolicyRules.Evaluate(new(), Requester.Engine, [], source.Current).IsAllowed);
        Write("{}", source);
        Assert.That(PolicyRules.Evaluate(gpu, Requester.Engine, [], source.Current).IsAllowed);
    }

    [Test]
    public void A_removed_file_is_no_policy()
    {
        Write("""{"requireQuota":true}""");
        var source = Open();
        File.Delete(File_);
        source.Refresh();
        Assert.That(source.Current.IsBuiltIn);
        Assert.That(_lines.Lines[^1], Does.Contain("is gone"));
        Write("{");
        Assert.That(Open().Current.Problem, Is.Not.Null, "the last good one went with it");
    }

    [Test]
    public void A_directory_in_its_place_leaves_the_last_good_policy()
    {
        Write("""{"requireQuota":true}""");
        var source = Open();
        File.Delete(File_);
        Directory.CreateDirectory(File_);
        source.Refresh();
        source.Refresh();
        Assert.That((source.Current.IsBuiltIn, source.Current.Limits.RequireQuota), Is.EqualTo((false, (bool?)true)));
        Assert.That(source.State.Refused.Single().Text, Does.Contain("it is a directory"));
        Assert.That(_lines.Lines.Count(line => line.Contains("it is a directory")), Is.EqualTo(1));
        Assert.That(Open().Current.Limits.RequireQuota, Is.True, "and over a restart");
    }

    [Test]
    public void A_directory_from_the_start_allows_nothing()
    {
        Directory.CreateDirectory(File_);
        var source = Open();
        Assert.That((source.Current.IsBuiltIn, source.Current.Problem), Is.EqualTo((false, "the file cannot be read")));
        Directory.Delete(File_);
        source.Refresh();
        Assert.That(source.Current.IsBuiltIn);
        Directory.CreateDirectory(File_);
        source.Refresh();
        Assert.That(source.Current.Problem, Is.Not.Null, "again");
        Directory.Delete(File_);
        Write("""{"requireQuota":true}""", source);
        Assert.That(source.Current.Limits.RequireQuota, Is.True);
    }

    /// <summary>An upgrade lost the folder that the admin had set: what is in the default one, or not, is nobody's
    /// policy.</summary>
    [Test]
    public void A_missing_policy_folder_allows_nothing()
    {
        Write("""{ "maxQuota": "0.5" }""");
        var source = Open();
        var changes = 0;
        source.Changed += () => changes++;
        source.Distrust("etc.source was lost");
        Write("{}", source);
        Assert.That(
            (source.Current.Problem, source.Current.IsBuiltIn, changes),
            Is.EqualTo(("etc.source was lost", false, 1))
        );
    }
}
